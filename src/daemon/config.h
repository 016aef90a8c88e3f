#pragma once
/*
 * daemon/config.h - droverd.conf
 *
 * The format is libvirtd.conf's: `key = value`, values are numbers, "strings"
 * or [ "lists" ], # starts a comment (CFG-01). The keys and their defaults are
 * facts/config.toml. An unknown key is a warning, a wrong type or value an
 * error; both name file and line.
 */
#include "base/err.h"
#include "daemon/config-keys.h"

#include <stddef.h>
#include <stdint.h>

typedef void (*ConfigWarning)(void *arg, const char *sentence);

/* Every key at its default. */
Config *config_new(void);
Config *config_free(Config *config); /* returns NULL */
/* Defaults, then what text says. path only names the text in messages. Warnings may come before a failure. */
Config *config_parse(const char *path, const char *text, ConfigWarning warn, void *arg, Error *err);
/* The same from a file; a missing file gives the defaults. Blocks. */
Config *config_load(const char *path, ConfigWarning warn, void *arg, Error *err);
/* The key mac_prefix (CON-24). */
void config_mac_prefix(const Config *config, uint8_t ret[3]);

DEFINE_AUTO(Config, config_free)
