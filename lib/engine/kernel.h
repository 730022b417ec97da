/* SPDX-License-Identifier: MIT */
/* kernel.h - names of our own for what the headers of liburing 2.3 do not know yet.
 *
 * The kernel's numbers never change, so a constant is all that is needed: whether the
 * running kernel understands it is found out by trial or by a feature bit. The names are
 * ours because upstream has enums among them, which no #ifndef can see. */
#ifndef KN_ENGINE_KERNEL_H
#define KN_ENGINE_KERNEL_H

#include <stdint.h>

#define KN_SETUP_NO_SQARRAY (1U << 16) /* Linux 6.6; liburing 2.6 adds it by itself */
#define KN_FEAT_MIN_TIMEOUT (1U << 15) /* Linux 6.12 */
#define KN_FEAT_NO_IOWAIT   (1U << 17) /* Linux 6.15 */
#define KN_ENTER_NO_IOWAIT  (1U << 7)  /* if KN_FEAT_NO_IOWAIT */

/* struct io_uring_getevents_arg, whose third member was padding once. */
struct kn_getevents_arg {
	uint64_t sigmask;
	uint32_t sigmask_size;
	uint32_t min_wait_us; /* if KN_FEAT_MIN_TIMEOUT */
	uint64_t ts;
};

#endif
