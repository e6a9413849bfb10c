"""HTTP, WebSocket and the page that people look at. Translates; decides nothing.

`view` says what the platform must offer, `app` serves it, `feed` packs live states for the wire and
`schematic` lays out the feeders.
"""
