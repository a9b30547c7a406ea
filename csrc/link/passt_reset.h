/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * passt before 2024 resets a connection that is refused without the flag ACK, though with the
 * number, and who has sent a SYN must not believe that: connect() would time out.
 */
#ifndef LINK_PASST_RESET_H
#define LINK_PASST_RESET_H

/* If the frame is such a reset, sets the flag. */
void passt_reset_complete(char *frame, unsigned long bytes);

#endif
