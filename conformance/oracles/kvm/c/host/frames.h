/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The content of the host's frames.  A frame has none, and reads as 0, until it is written; it keeps what it has when
 * the host unmaps it, since no frame is ever used again.
 */
#ifndef CONFORMANCE_KVM_FRAMES_H
#define CONFORMANCE_KVM_FRAMES_H

#include <linux/types.h>

/* Bytes that lie within one word of 8 bytes, at an offset into the frame. */
u64 frame_read(unsigned long pfn, unsigned long offset, size_t size);
void frame_write(unsigned long pfn, unsigned long offset, size_t size, u64 value);
/* Where a word is, to be written in place. */
void *frame_word(unsigned long pfn, unsigned long offset);
/* A new frame is a copy of another one, or of each of a run. */
void frame_copy(unsigned long from, unsigned long to);

/* Under which address a race knows a word of a frame. */
const void *frame_object(unsigned long pfn, unsigned long offset);

/* All words that are not 0, as an observation lists them: pfn, index, word. */
void put_memory(void);

#endif
