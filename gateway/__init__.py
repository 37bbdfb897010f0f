"""One Flask gateway that answers the documented REST calls of three systems from what their backends really say."""
