"""The routes of the API, by what they are about. A chat page, a review page and A2A would be
modules here.
"""
