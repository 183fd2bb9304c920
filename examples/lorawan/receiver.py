"""The receiving end: messages on stdin, a line of port and payload in hex for each, become digit-0.png, digit-1.png, ..."""

import sys

import PIL.Image

import mnistzip

for number, message in enumerate(sys.stdin):
    port, payload = message.split()
    pixels = mnistzip.decode_bare(bytes.fromhex(payload), quality=int(port), model="mnist-fast", check_bits=0)
    PIL.Image.fromarray(pixels).save(f"digit-{number}.png")
