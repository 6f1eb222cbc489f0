"""What starts runs: the plan of this installation, what the schedule and the sensor request, and
the commands.
"""
