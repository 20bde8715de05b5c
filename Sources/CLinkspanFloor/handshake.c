#include "floor.h"

#include <string.h>

static uint32_t rotated(uint32_t value, int bits) { return value << bits | value >> (32 - bits); }

/* FIPS 180-4, for an input of 60 bytes: two blocks with the padding. */
static void sha1_of_60(const uint8_t *input, uint8_t digest[20]) {
  uint8_t blocks[128] = {0};
  memcpy(blocks, input, 60);
  blocks[60] = 0x80;
  blocks[126] = 480 >> 8;
  blocks[127] = 480 & 0xFF;
  uint32_t hash[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
  for (int block = 0; block < 2; block++) {
    uint32_t word[80];
    for (int i = 0; i < 16; i++) {
      const uint8_t *at = blocks + 64 * block + 4 * i;
      word[i] = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
    }
    for (int i = 16; i < 80; i++) word[i] = rotated(word[i - 3] ^ word[i - 8] ^ word[i - 14] ^ word[i - 16], 1);
    uint32_t a = hash[0], b = hash[1], c = hash[2], d = hash[3], e = hash[4];
    for (int i = 0; i < 80; i++) {
      uint32_t mixed = i < 20   ? ((b & c) | (~b & d)) + 0x5A827999
                       : i < 40 ? (b ^ c ^ d) + 0x6ED9EBA1
                       : i < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8F1BBCDC
                                : (b ^ c ^ d) + 0xCA62C1D6;
      uint32_t next = rotated(a, 5) + mixed + e + word[i];
      e = d, d = c, c = rotated(b, 30), b = a, a = next;
    }
    hash[0] += a, hash[1] += b, hash[2] += c, hash[3] += d, hash[4] += e;
  }
  for (int i = 0; i < 20; i++) digest[i] = (uint8_t)(hash[i / 4] >> (24 - 8 * (i % 4)));
}

void linkspan_floor_accept(const char *key, char *accept) {
  static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  uint8_t input[60], digest[21] = {0};
  memcpy(input, key, 24);
  memcpy(input + 24, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
  sha1_of_60(input, digest);
  for (int i = 0; i < 7; i++) {
    uint32_t bits = (uint32_t)digest[3 * i] << 16 | (uint32_t)digest[3 * i + 1] << 8 | digest[3 * i + 2];
    for (int j = 0; j < 4; j++) accept[4 * i + j] = alphabet[bits >> (18 - 6 * j) & 63];
  }
  accept[27] = '=';
}
