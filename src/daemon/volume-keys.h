#pragma once
/*
 * daemon/volume-keys.h - which secrets open encrypted volumes
 *
 * An image does not say which secret opens it. What a volume was made with is
 * remembered while its pool runs; else the secret counts whose usage is the
 * volume's path.
 */
#include "daemon/pool.h"
#include "daemon/secret.h"

typedef struct VolumeKeys {
        Fd key, from_key; /* memory files; -1: none is needed */
        bool as_is;       /* the copy keeps header and key of its original */
} VolumeKeys;

/*
 * What making `wanted` needs, as a copy of `from` unless that is NULL. An encryption that is not made, a secret that is
 * missing or has no value are errors. ret is to be done in either case.
 */
int volume_keys_find(const Secrets *secrets, const VolumeDef *wanted, const VolumeDef *from, VolumeKeys *ret,
                     Error *err);
void volume_keys_done(VolumeKeys *keys);
/* The definition with the secret whose usage is its path, when it is encrypted and names none. A reference. */
VolumeDef *volume_with_secret(const Secrets *secrets, const VolumeDef *def);
/* def, which nobody else has yet, is opened by what `known` names, when it is encrypted and names none. */
void volume_take_secrets(VolumeDef *def, const EncryptionDef *known);

DEFINE_AUTO_VALUE(VolumeKeys, volume_keys_done)
