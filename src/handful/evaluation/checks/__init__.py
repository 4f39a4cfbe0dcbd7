"""Is an environment what its task says of it?"""
