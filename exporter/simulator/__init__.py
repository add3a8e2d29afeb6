"""An embedded simulator of Cognito: a world of users, their traffic, an HTTP server that answers like the service."""
