"""What tests of several folders share: fixtures, stand-ins for servers and machines, small worlds
to work on.
"""
