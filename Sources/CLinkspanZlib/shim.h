#pragma once
#include <zlib.h>

#if ZLIB_VERNUM < 0x1280
#error "zlib 1.2.8 or later is needed"
#endif
