"""Devices that engines compute on, and their leases."""
