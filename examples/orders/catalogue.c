/* SPDX-License-Identifier: MIT */
/* catalogue.c - the goods of the shop and their prices; which of them an order means.
 *
 * Customers misspell: "cofee" is coffee. Every order's item is compared with all goods, even if it
 * is the name of one. That is slow on purpose: look for edit_distance in the CPU profile. */
#include "orders.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static const char *const sizes[] = {"", "small ", "large ", "a box of "};
static const char *const sorts[] = {"",       "black ",   "green ",  "white ",   "brown ",
                                    "sweet ", "salted ",  "fresh ",  "dried ",   "ground ",
                                    "cheap ", "roasted ", "smoked ", "organic ", "imported "};
static const char *const kinds[] = {
    "tea",  "coffee", "bread", "butter", "jam",    "milk", "honey", "rice",  "cheese", "flour",
    "salt", "sugar",  "oats",  "pepper", "apples", "nuts", "pears", "beans", "cocoa",  "plums"};

enum { GOODS = COUNT(sizes) * COUNT(sorts) * COUNT(kinds) };

static struct {
    char name[32];
    int64_t cents;
} goods[GOODS]; /* constant once the shop is open */

void catalogue_open(void)
{
    for (int i = 0; i < GOODS; i++) {
        int kind = i % COUNT(kinds), sort = i / COUNT(kinds) % COUNT(sorts);
        int size = i / COUNT(kinds) / COUNT(sorts);

        snprintf(goods[i].name, sizeof(goods[i].name), "%s%s%s", sizes[size], sorts[sort],
                 kinds[kind]);
        goods[i].cents = (100 + 35 * kind + 15 * sort) * (size + 1);
    }
}

/* Returns how many letters have to be added, dropped or replaced to make one word of the other.
 * row[j] is that number for a's letters up to here and the first j of b; `before`, for a's without
 * the latest. */
static int edit_distance(const char *a, const char *b)
{
    int row[sizeof(goods[0].name)], n = (int)strlen(b);

    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 0; a[i]; i++) {
        int before = row[0];

        row[0] = i + 1;
        for (int j = 0; j < n; j++) {
            int dropped = row[j + 1] + 1, added = row[j] + 1, best = before + (a[i] != b[j]);

            best = added < best ? added : best;
            before = row[j + 1];
            row[j + 1] = dropped < best ? dropped : best;
        }
    }
    return row[n];
}

int64_t catalogue_price(char item[32])
{
    int closest = 0, least_distance = INT_MAX;

    for (int i = 0; i < GOODS; i++) {
        int distance = edit_distance(item, goods[i].name);

        if (distance < least_distance) {
            least_distance = distance;
            closest = i;
        }
    }
    memcpy(item, goods[closest].name, sizeof(goods[closest].name));
    return goods[closest].cents;
}
