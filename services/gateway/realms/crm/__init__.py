"""Users and logins of the crm."""
