"""The internet of energy: frames, lanes, buses and the gateways that turn devices' languages into frames.

Nothing here judges a reading or decides anything. Import what you need from its module: the event path lives on
`frames`, `subjects` and `wire` alone and must not load a client or an event loop for it.

    frames       readings as columns in one block of bytes
    subjects     where messages go
    birth        what a field says of itself
    bus          in process | NATS
    server       a NATS server as a supervised child process
    wire         a small synchronous NATS client for the event path
    telemetry    last values, gaps
    events       events that are never lost and never delivered twice
    commands     orders that are never executed twice
    signing      Ed25519 envelopes and key files
    mqtt         the door for devices that speak MQTT
"""
