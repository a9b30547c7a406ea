// SPDX-License-Identifier: GPL-2.0-only
/* The assembly of this port knows no structure; the build wants the file. */
