/* SPDX-License-Identifier: MIT */
/* macros.h - attributes that the other headers use; nothing here is for programs. */
#ifndef KNIT_MACROS_H
#define KNIT_MACROS_H

#ifdef __cplusplus
#define KNIT_BEGIN_DECLS extern "C" {
#define KNIT_END_DECLS   }
#else
#define KNIT_BEGIN_DECLS
#define KNIT_END_DECLS
#endif

#if defined(__GNUC__)
#define KNIT_API             __attribute__((visibility("default")))
#define KNIT_NODISCARD       __attribute__((warn_unused_result))
#define KNIT_PRINTF(fmt, at) __attribute__((format(printf, fmt, at)))
#else
#define KNIT_API
#define KNIT_NODISCARD
#define KNIT_PRINTF(fmt, at)
#endif
#endif
