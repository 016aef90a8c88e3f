#pragma once
/*
 * daemon/qemu-save.h - a guest's state to a file, and back
 */
#include "daemon/call.h"
#include "daemon/migrate.h"
#include "daemon/qemu-driver.h"
#include "qemu/save-image.h"

typedef struct Save Save;
typedef struct Restore Restore;

typedef struct SaveOptions {
        const char *path, *xml; /* xml NULL: the live definition */
        bool bypass_cache, managed;
        bool running, paused; /* what it is to be when restored; neither: as it is now */
} SaveOptions;

/* The guest holds its job slot (JOB_SAVE). When done() says NULL it has ended; on failure it goes on as before. */
int qemu_save(Domain *dom, const SaveOptions *options, DriverDone *done, void *arg, Error *err);
/* The lines of the status file that let a later daemon put it right. */
void qemu_save_put_status(const Save *save, Buf *ret);
/* Give up; -1 when there is nothing left to give up. */
int qemu_save_abort(Save *save, Error *err);
const MigrateStats *qemu_save_stats(const Save *save);
void qemu_save_on_event(Save *save, const QmpEvent *event);
/* The guest's QEMU ended and its run is over. */
void qemu_save_on_guest_ended(Save *save);

/* Where the image of a managed save lies. Owned. */
char *qemu_managed_save_path(const QemuDriver *qemu, const char *name);

/*
 * Start a guest from an image. def is what the image or its caller says and is taken; the guest is shut off and holds
 * its job slot. paused: it stays so.
 */
void qemu_restore(Domain *dom, DomainDef *def, const char *path, const StartOptions *options, DriverDone *done,
                  void *arg);
void qemu_restore_on_event(Restore *restore, const QmpEvent *event);
void qemu_restore_on_guest_ended(Restore *restore);
/* The driver's start: from the managed save image where there is one, else a boot. */
void qemu_start_or_restore(Domain *dom, DomainDef *def, const StartOptions *options, DriverDone *done, void *arg);

/* QEMU reads or writes one stream, with nothing left of what an earlier migration had set. */
void qemu_plain_migration(QmpClient *qmp, void (*done)(void *arg, const Error *failure), void *arg);

/* image is NULL on failure and gone afterwards; def is taken. */
typedef void SaveLooked(void *arg, const SaveImage *image, DomainDef *def, const Error *failure);
/*
 * Read the head of an image and the definition in it, on a worker when that is large: done() once. other_xml (NULL:
 * none) lives until then; def is what it says, after a check that the guest's state fits it.
 */
int qemu_save_look(QemuDriver *qemu, const char *path, const char *other_xml, SaveLooked *done, void *arg,
                   Error *err);
/*
 * The same for a guest that is to be started from it: the administrator's script is asked for 'restore', and what it
 * prints, if anything, is the definition instead, under the same check (MIG-29).
 */
int qemu_save_look_to_start(QemuDriver *qemu, const char *path, const char *other_xml, SaveLooked *done, void *arg,
                            Error *err);
/* As qemu_save_look() without the definition, def is NULL: is the image complete? */
int qemu_save_look_at_head(QemuDriver *qemu, const char *path, SaveLooked *done, void *arg, Error *err);
/* Give an image another head. */
int qemu_save_edit(QemuDriver *qemu, const char *path, const SaveImage *image, DriverDone *done, void *arg,
                   Error *err);
/* xml as the definition of a guest whose state belongs to def: it must fit. */
DomainDef *qemu_save_other_def(Driver *driver, const DomainDef *def, const char *xml, Error *err);
