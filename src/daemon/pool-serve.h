#pragma once
/*
 * daemon/pool-serve.h - the process that keeps an eye on a running pool
 *
 * Its records change the pool's volumes as they come. When it says nothing for
 * a while although something was asked, whoever waits is told that the pool
 * does not respond; the process stays, and what it says later still counts.
 */
#include "daemon/pool.h"

/* starts: start the pool first. ready(arg, failure) once: volumes are known, or it failed and the process is gone. */
PoolServe *pool_serve_new(Pool *pool, bool starts, DriverDone *ready, void *arg, Error *err);
/* Go through the whole pool again. */
void pool_serve_scan(PoolServe *serve, DriverDone *done, void *arg);
/* Look at one volume again; a volume that is gone is no failure. */
void pool_serve_look(PoolServe *serve, const char *name, DriverDone *done, void *arg);
void pool_serve_figures(PoolServe *serve, DriverDone *done, void *arg);
/* While the pool is gone through for the first time: done() comes afterwards. False: its volumes are known already. */
bool pool_serve_wait(PoolServe *serve, DriverDone *done, void *arg);
/* The pool is gone through for the first time. */
bool pool_serve_is_starting(const PoolServe *serve);
/* The process has not ended, whether it answers or not. */
bool pool_serve_lives(const PoolServe *serve);
/* Whoever waits is told. Returns NULL. */
PoolServe *pool_serve_free(PoolServe *serve);
