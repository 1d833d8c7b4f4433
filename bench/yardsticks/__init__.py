"""What the gateway is compared with: services that do the same job in the straightforward way.

They are kept plain on purpose and are not to be tuned; the run is invalid if they become unreasonably slow.
"""
