/*
 * daemon/define-call.c - definitions that come with a call
 *
 * A turn of the loop has 5 ms, and 1 KiB of XML takes up to 25 us.
 */
#include "daemon/define-call.h"

#include "base/mem.h"
#include "daemon/daemon.h"
#include "daemon/define.h"
#include "loop/worker.h"
#include "wire/constants.h"

enum { LARGE_BYTES = 128 * 1024 };

typedef struct Parse {
        Call *call;
        Driver *driver;
        const char *xml;
        bool validate;
        DefineThen *then;
        Task *task;
        DomainDef *def;
        Error err;
} Parse;

static void parse_free(void *data)
{
        Parse *p = data;

        domain_def_unref(p->def);
        err_done(&p->err);
        free(p);
}

/* The daemon ends before the definition is read. */
static void drop_parse(void *data)
{
        Parse *p = data;

        task_free(p->task, parse_free);
}

/* Written with its blanks and all that was filled in, it still fits into an answer. */
static int check_size(const DomainDef *def, Error *err)
{
        AUTO(Buf) xml = { 0 };

        if (domain_def_format(def, DEF_FORMAT_SECURE, &xml) < 0 || xml.len >= WIRE_STRING_MAX)
                return err_set(err, ERR_XML,
                               "the definition of '%s' is too large: no client could read it, as XML of "
                               "%zu bytes where %u are the most",
                               def->name, xml.len, WIRE_STRING_MAX);
        return 0;
}

static void parse(void *data)
{
        Parse *p = data;
        AUTO(DomainDef) *def = define_parse(p->driver, p->xml, p->validate, true, &p->err);

        if (def && check_size(def, &p->err) == 0)
                p->def = TAKE(def);
}

static void on_parsed(void *data)
{
        Parse *p = data;
        Call *call = p->call;
        AUTO(Error) err = { 0 };

        p->task = task_free(p->task, NULL);
        call_keep(call, NULL, NULL);
        if (!p->def)
                err_move(&err, &p->err);
        else
                p->then(call, TAKE(p->def), &err);
        parse_free(p);
        if (err_is_set(&err))
                call_fail(call, &err);
}

int define_for_call(Call *call, const char *xml, bool validate, DefineThen *then, Error *err)
{
        Driver *driver = call_driver(call);
        DomainDef *def;
        Parse *p;

        if (strlen(xml) <= LARGE_BYTES) {
                def = define_parse(driver, xml, validate, true, err);
                return def ? then(call, def, err) : -1;
        }
        p = mem_new(Parse);
        *p = (Parse){ .call = call, .driver = driver, .xml = xml, .validate = validate, .then = then };
        call_keep(call, p, drop_parse);
        p->task = task_new(call_daemon(call)->workers, parse, on_parsed, p);
        return 0;
}
