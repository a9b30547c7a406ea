// SPDX-License-Identifier: GPL-2.0-only
/*
 * The door of a gateway: how long a cookie is good, and who may enter, and how often. The clock is
 * the test's.
 */
#include <netinet/in.h>
#include <string.h>

#include "expect.h"
#include "link/gateway_door.h"

#define SECOND 1000000000ull
#define BURST 200u

static struct gateway_door door;
static struct udp_way way;
static uint8_t hello[TUNNEL_HELLO_BYTES], cookie[TUNNEL_COOKIE];

static enum door_verdict knock(uint64_t now)
{
	return gateway_door_knock(&door, &way, hello, now, cookie);
}

/* One that has a cookie of this time. */
static void hello_make(uint64_t now)
{
	memset(hello, 0, sizeof(hello));
	memset(&door, 0, sizeof(door));
	way.remote.ss_family = AF_INET;
	EXPECT_EQ(gateway_door_open(&door, now), 0);
	EXPECT_EQ(knock(now), DOOR_ASKS);
	memcpy(hello + TUNNEL_AT_COOKIE, cookie, sizeof(cookie));
}

static bool enter(uint32_t e, uint64_t now)
{
	memcpy(hello + TUNNEL_AT_E, &e, sizeof(e));
	return gateway_door_enter(&door, hello, now);
}

static void cookie_is_good_for_a_minute_and_for_one_place(void)
{
	hello_make(SECOND);
	EXPECT_EQ(knock(60 * SECOND), DOOR_OPENS);
	EXPECT_EQ(knock(61 * SECOND), DOOR_OPENS);
	EXPECT_EQ(knock(121 * SECOND), DOOR_ASKS);
	hello_make(SECOND);
	((struct sockaddr_in *)&way.remote)->sin_port++;
	EXPECT_EQ(knock(SECOND), DOOR_ASKS);
}

/* Nobody has knocked since. */
static void cookie_of_long_ago_is_not_good_at_a_quiet_door(void)
{
	hello_make(SECOND);
	EXPECT_EQ(knock(3600 * SECOND), DOOR_ASKS);
}

/* Knocking takes no turn from who has a key. */
static void turns_are_for_who_enters(void)
{
	hello_make(SECOND);
	for (unsigned i = 0; i < 10 * BURST; i++)
		EXPECT_EQ(knock(SECOND), DOOR_OPENS);
	for (unsigned i = 1; i <= BURST; i++)
		EXPECT(enter(i, SECOND));
	EXPECT(!enter(BURST + 1, SECOND));
	EXPECT(enter(BURST + 2, SECOND + SECOND / 100));
}

static void nobody_enters_twice_or_takes_a_turn_by_trying(void)
{
	hello_make(SECOND);
	EXPECT(enter(1, SECOND));
	for (unsigned i = 0; i < 10 * BURST; i++)
		EXPECT(!enter(1, SECOND));
	EXPECT(enter(2, SECOND));
}

int main(void)
{
	EXPECT_EQ(crypto_open(), 0);
	CASE(cookie_is_good_for_a_minute_and_for_one_place, 10);
	CASE(cookie_of_long_ago_is_not_good_at_a_quiet_door, 10);
	CASE(turns_are_for_who_enters, 10);
	CASE(nobody_enters_twice_or_takes_a_turn_by_trying, 10);
	return 0;
}
