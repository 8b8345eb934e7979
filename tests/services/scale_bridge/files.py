"""Files as scales might give them, and what is wrong with those that are not accepted."""

from services.scale_bridge.domain.fault import Flaw

BAD = [
    (b"", Flaw.NOT_JSON),
    (b"{", Flaw.NOT_JSON),
    (b'{"products":[]}x', Flaw.NOT_JSON),
    (b"\xef\xbb\xbf" + b'{"products":[]}', Flaw.NOT_JSON),
    (b'{"products":[{"name":"\xff"}]}', Flaw.NOT_JSON),
    (b'{"products":[{"name":"\\ud800"}]}', Flaw.NOT_JSON),
    (b'{"products":' + b"[" * 100_000, Flaw.NOT_JSON),
    (b'{"products":[{"price":' + b"9" * 5000 + b"}]}", Flaw.NOT_JSON),
    (b'{"products":[{"price":NaN}]}', Flaw.NOT_FINITE),
    (b'{"products":[{"price":-Infinity}]}', Flaw.NOT_FINITE),
    (b'{"products":[{"price":1e999}]}', Flaw.NOT_FINITE),
    (b'{"products":[{"price":1,"price":2}]}', Flaw.DUPLICATE_KEY),
    (b'{"products":[],"products":[]}', Flaw.DUPLICATE_KEY),
    (b"[]", Flaw.NOT_AN_OBJECT),
    (b"42", Flaw.NOT_AN_OBJECT),
    (b"null", Flaw.NOT_AN_OBJECT),
    (b"{}", Flaw.NO_PRODUCTS),
    (b'{"items":[]}', Flaw.NO_PRODUCTS),
    (b'{"products":{}}', Flaw.NO_PRODUCTS),
    (b'{"products":null}', Flaw.NO_PRODUCTS),
    (b'{"products":[1]}', Flaw.NOT_A_PRODUCT),
    (b'{"products":[{"pluNumber":1},{"pluNumber":1}]}', Flaw.DUPLICATE_PLU),
    (b'{"products":[{"pluNumber":1},{"pluNumber":"1"}]}', Flaw.DUPLICATE_PLU),
    (b'{"products":[{"pluNumber":1},{"pluNumber":1.0}]}', Flaw.DUPLICATE_PLU),
]

GOOD = [
    '{"products":[{"x":999999999999999999999999999999}]}',
    '{"products":[]}',
    '{"products":[{},{"name":"без PLU"},{"pluNumber":null},{"pluNumber":1}],"x":{"y":[1.5]}}',
    '{"products":[{"pluNumber":"01"},{"pluNumber":1}]}',
    '{"products":[{"name":"\\ud83d\\ude00\\n"}]}',
]
