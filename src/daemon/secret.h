#pragma once
/*
 * daemon/secret.h - the passwords and keys that a driver's disks, pools and servers need
 *
 * A definition is DIR/UUID.xml, its value DIR/UUID.base64, both readable by
 * root only; an ephemeral secret has neither. Values are wiped from memory
 * when they go, never logged, and never part of a definition.
 */
#include "base/buf.h"
#include "base/fd.h"
#include "daemon/file-task.h"
#include "model/secret.h"
#include "wire/structs.h"

typedef struct Driver Driver;
typedef struct Secrets Secrets;

enum { SECRET_VALUE_MOST = 65536 };

typedef struct SecretValue {
        uint8_t *data; /* owned */
        size_t n;
} SecretValue;

typedef struct Secret {
        unsigned refs;
        Secrets *secrets;
        SecretDef *def;
        SecretValue value; /* data NULL: it has none */
        bool going;        /* is being undefined, or was: nobody finds it */
        bool moving;       /* is being written to the disk, or removed from there, whole: nothing else changes it */
} Secret;

typedef void SecretDone(void *arg, const Error *failure);

/* At the start; blocks. files stays the caller's and outlives them; NULL: nothing is kept on the disk. */
int secrets_load(Driver *driver, FileQueue *files, Error *err);
Secrets *secrets_free(Secrets *secrets); /* returns NULL */

size_t secrets_len(const Secrets *secrets);
Secret *secrets_at(const Secrets *secrets, size_t i); /* NULL: it is being undefined */
/* NULL: there is none. */
Secret *secret_find(const Secrets *secrets, const Uuid *uuid);
Secret *secret_find_usage(const Secrets *secrets, SecretUsageType type, const char *id);

/* As calls and events name it; what it points to is the definition's. */
WireSecret secret_wire(const SecretDef *def);

/*
 * Each is durable when done(arg, failure) comes, on the loop, perhaps before the call returns; clients are told then.
 * A definition is taken, in place of what is there with its UUID; it was checked by secret_check_def().
 */
void secret_define(Secrets *secrets, SecretDef *def, SecretDone *done, void *arg);
void secret_set_value(Secret *secret, const void *data, size_t n, SecretDone *done, void *arg);
void secret_undefine(Secret *secret, SecretDone *done, void *arg);
/* Whether def may be defined beside, or in place of, what is there. */
int secret_check_def(const Secrets *secrets, const SecretDef *def, Error *err);

/* The value that a definition names by UUID or use. It stays the secret's and is valid until the loop turns. */
const SecretValue *secret_value(const Secrets *secrets, const SecretRefDef *ref, SecretUsageType type, Error *err);
/* The same with the error that clients expect of a secret without a value. */
const SecretValue *secret_its_value(const Secret *secret, Error *err);
/* A file in memory that holds it, to be read from its start by a process that gets it. */
int secret_value_fd(const SecretValue *value, Fd *ret, Error *err);
