/*
 * daemon/migrate-retire.c - the daemon ends while guests move
 *
 * Nothing is undone and nobody is asked: the QEMUs go on, and the status files say what the next daemon has to look at
 * (migrate-recover.c, migrate-take.c). Only the clients that wait are told.
 */
#include "daemon/migrate-finish.h"
#include "daemon/migrate-reason.h"
#include "daemon/migrate-source.h"
#include "daemon/migrate-take.h"

static void fail(Call *call, const Error *why)
{
        if (call)
                call_fail(call, why);
}

static void retire(Migration *m, const Error *why)
{
        fail(TAKE(m->waiting), why);
        fail(TAKE(m->finishing), why);
        migrate_taken(TAKE(m->take), why);
        migrate_withdraw_retire(m, why);
        migration_free(m);
}

void migrate_retire(QemuDriver *qemu)
{
        const DomainList *guests = qemu->driver->domains;
        AUTO(Error) why = { 0 };

        err_set(&why, ERR_OPERATION_ABORTED, "droverd ends; what becomes of the move is seen to by the next one");
        while (qemu->moves.len)
                migrate_p2p_retire(qemu->moves.items[0], &why);
        while (qemu->preparing.len)
                migrate_prepare_retire(qemu->preparing.items[0], &why);
        while (qemu->drops.len)
                migrate_drop_retire(qemu->drops.items[0], &why);
        for (size_t i = 0; i < domain_list_len(guests); i++) {
                QemuRun *run = qemu_run(domain_list_at(guests, i));

                if (run && run->migration)
                        retire(run->migration, &why);
        }
        vec_done(&qemu->moves);
        vec_done(&qemu->preparing);
        vec_done(&qemu->drops);
        migrate_forget_reasons(qemu);
        vec_done(&qemu->listening);
}
