/* SPDX-License-Identifier: GPL-2.0-only */
/* The host CPU's part of the port. */
#ifndef _LKL_CONTEXT_H
#define _LKL_CONTEXT_H

#if defined(__x86_64__)
#include "context_x86_64.h"
#elif defined(__aarch64__)
#include "context_aarch64.h"
#else
#error "the port has no context switch for this CPU: write context_<cpu>.h"
#endif

#endif
