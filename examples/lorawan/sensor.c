/*
 * A sensor that sends digits of 28 x 28 pixels by LoRaWAN, for a machine without an operating system.
 *
 * build.sh makes sender.h, the encoder of mnist-fast for a range of qualities. Each digit goes out at the best of them whose stream
 * fits a message of PACKET_MAX bytes. The receiver must know the quality: it travels as the port of the message (FPort, 1 to 223),
 * which costs no byte of the payload. LoRaWAN itself checks messages by 32 bits, so the stream needs no check of its own.
 */
#include "platform.h"

#define SENDER_IMPLEMENTATION
#include "sender.h"

#ifndef PACKET_MAX
#define PACKET_MAX 11 /* bytes: US915 at data rate 0; EU868 at data rate 0 takes 51 */
#endif

enum { CHECK_BITS = 0 };

static uint64_t workspace[SENDER_WORKSPACE / 8];

/* Encode a digit at the best quality that fits. Returns the quality; 0 if none fits. */
static int encode_to_fit(const uint8_t *pixels, uint8_t *packet, size_t *size)
{
    for (int quality = SENDER_QUALITY_HIGH; quality >= SENDER_QUALITY_LOW; quality--) {
        const mnz_status status =
            mnz_micro_encode(&sender, quality, CHECK_BITS, pixels, packet, PACKET_MAX, size, workspace, sizeof workspace);
        if (status == MNZ_OK) return quality;
        if (status != MNZ_ERROR_OUTPUT) return 0;
    }
    return 0;
}

int run(void)
{
    uint8_t pixels[MNZ_TILE_PIXELS], packet[PACKET_MAX];
    size_t size;
    while (platform_read_digit(pixels)) {
        const int quality = encode_to_fit(pixels, packet, &size);
        if (quality)
            platform_send((uint8_t)quality, packet, size);
        else
            platform_not_sent();
    }
    return 0;
}
