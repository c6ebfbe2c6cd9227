/* SPDX-License-Identifier: MIT */
/* store.c - orders in SQLite.
 *
 * Only the pool of readers knows of tasks. A call into SQLite blocks its thread, on the disk for
 * milliseconds. The runtime gives the thread's processor to another thread meanwhile, so no other
 * task waits. */
#include "orders.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

enum { READERS = 4 };

WEFT_CHAN_TYPE(pool, sqlite3 *);

static sqlite3 *writer;
static sqlite3_stmt *insert;
static pool *readers; /* the unused connections; a channel is all that a pool needs */

static int failed(sqlite3 *db, const char *what)
{
    fprintf(stderr, "orders: %s: %s\n", what, sqlite3_errmsg(db));
    return -1;
}

static int run(const char *sql)
{
    return sqlite3_exec(writer, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : failed(writer, sql);
}

int store_open(const char *path)
{
    if (sqlite3_open(path, &writer) != SQLITE_OK)
        return failed(writer, path);
    sqlite3_busy_timeout(writer, 5000);
    if (run("PRAGMA journal_mode = WAL") < 0 || run("PRAGMA synchronous = FULL") < 0 ||
        run("CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, customer TEXT, item TEXT, "
            "quantity INTEGER, cents INTEGER)") < 0 ||
        run("CREATE INDEX IF NOT EXISTS by_customer ON orders (customer)") < 0)
        return -1;
    if (sqlite3_prepare_v2(writer,
                           "INSERT INTO orders (customer, item, quantity, cents) "
                           "VALUES (?, ?, ?, ?)",
                           -1, &insert, NULL) != SQLITE_OK)
        return failed(writer, "prepare");
    readers = pool_new(READERS);
    for (int i = 0; i < READERS; i++) {
        sqlite3 *db;

        if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK)
            return failed(db, path);
        sqlite3_busy_timeout(db, 5000);
        pool_send(readers, db);
    }
    return 0;
}

void store_close(void)
{
    sqlite3 *db;

    for (int i = 0; i < READERS && pool_recv(readers, &db) == 0; i++)
        sqlite3_close(db);
    pool_free(readers);
    sqlite3_finalize(insert);
    sqlite3_close(writer);
}

static int add_one(order *o)
{
    int rc;

    sqlite3_bind_text(insert, 1, o->customer, -1, SQLITE_STATIC);
    sqlite3_bind_text(insert, 2, o->item, -1, SQLITE_STATIC);
    sqlite3_bind_int(insert, 3, o->quantity);
    sqlite3_bind_int64(insert, 4, o->cents);
    rc = sqlite3_step(insert);
    sqlite3_reset(insert);
    if (rc != SQLITE_DONE)
        return failed(writer, "insert");
    o->id = sqlite3_last_insert_rowid(writer);
    return 0;
}

int store_add(order *const orders[], int n)
{
    int rc = run("BEGIN IMMEDIATE");

    for (int i = 0; i < n && rc == 0; i++)
        rc = add_one(orders[i]);
    if (rc == 0)
        rc = run("COMMIT"); /* waits for the disk */
    if (rc < 0)
        run("ROLLBACK");
    return rc;
}

static void read_row(sqlite3_stmt *s, order *o)
{
    o->id = sqlite3_column_int64(s, 0);
    snprintf(o->customer, sizeof(o->customer), "%s", (const char *)sqlite3_column_text(s, 1));
    snprintf(o->item, sizeof(o->item), "%s", (const char *)sqlite3_column_text(s, 2));
    o->quantity = sqlite3_column_int(s, 3);
    o->cents = sqlite3_column_int64(s, 4);
}

/* Writes the rows of a query, in which "?" stands for text, or for a number if text is NULL. */
static int query(const char *sql, const char *text, int64_t number, order *out, int most)
{
    sqlite3_stmt *s;
    sqlite3 *db;
    int n = 0, rc = pool_recv(readers, &db);

    if (rc < 0)
        return rc;
    if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK) {
        n = failed(db, "query");
    } else {
        if (text)
            sqlite3_bind_text(s, 1, text, -1, SQLITE_STATIC);
        else
            sqlite3_bind_int64(s, 1, number);
        while (n < most && sqlite3_step(s) == SQLITE_ROW)
            read_row(s, &out[n++]);
        sqlite3_finalize(s);
    }
    pool_send_until(readers, db, WEFT_NOW); /* has room, so it works in a canceled task, too */
    return n;
}

int store_get(int64_t id, order *out)
{
    return query("SELECT * FROM orders WHERE id = ?", NULL, id, out, 1);
}

int store_latest(const char *customer, order *out, int most)
{
    return query("SELECT * FROM orders WHERE customer = ? ORDER BY id DESC LIMIT 20", customer, 0,
                 out, most);
}
