"""Does an environment do what its task declares?"""
