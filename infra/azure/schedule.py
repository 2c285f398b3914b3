"""Ticks are timers in the code (`samara.hosts.azure`). To Azure those are no resources: nothing is created here."""
