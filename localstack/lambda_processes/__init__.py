"""A plugin of LocalStack: deployed functions run as processes of this machine, through Lambda's own runtime."""
