#pragma once
/*
 * daemon/autodestroy.h - guests that end with the client that started them
 */
typedef struct Domain Domain;
typedef struct Driver Driver;
typedef struct ServerClient ServerClient;

/* The client of this guest is gone already. */
void autodestroy_guest(Domain *dom);
/* This client left, and is freed soon: destroy what it owns. */
void autodestroy_client_left(Driver *driver, const ServerClient *client);
