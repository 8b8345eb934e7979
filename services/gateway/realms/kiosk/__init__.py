"""Users, devices and logins of the kiosks."""
