"""vaebench"""
