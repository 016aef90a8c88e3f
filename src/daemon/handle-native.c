/*
 * daemon/handle-native.c - a definition as the command that would start QEMU
 *
 * As at a start, a child looks at the images first: the command names all that is below a disk. An image that cannot be
 * looked at keeps nobody from reading the rest.
 */
#include "base/mem.h"
#include "base/str.h"
#include "daemon/call.h"
#include "daemon/define-call.h"
#include "daemon/driver.h"
#include "daemon/handlers.h"
#include "daemon/qemu-driver.h"
#include "daemon/qemu-images.h"

typedef struct Native {
        Call *call;
        DomainDef *def;
        ImageLook *look;
} Native;

static void drop(void *data)
{
        Native *n = data;

        image_look_free(n->look);
        domain_def_unref(n->def);
        free(n);
}

static void on_looked(void *arg, ImageUses *uses, const Error *failure)
{
        Native *n = arg;
        AUTO(Error) err = { 0 };
        AUTO(Buf) text = { 0 };

        if (!failure)
                image_uses_put_chains(uses, n->def, NULL);
        if (qemu_put_command(qemu_driver(call_driver(n->call)), n->def, &text, &err) < 0)
                call_fail(n->call, &err);
        else
                call_reply(n->call, &(WireConnectDomainXmlToNativeRet){ .nativeConfig = buf_text(&text) });
}

static int convert(Call *call, DomainDef *def, Error *err)
{
        Native *n = mem_new(Native);

        *n = (Native){ .call = call, .def = def };
        call_keep(call, n, drop);
        n->look = image_look_new(qemu_driver(call_driver(call)), def, NULL, on_looked, n, err);
        return n->look ? 0 : -1;
}

int handle_connect_domain_xml_to_native(Call *call, const WireConnectDomainXmlToNativeArgs *args, Error *err)
{
        if (call_check_flags(call, args->flags, 0, err) < 0)
                return -1;
        if (call_driver(call)->ops != &driver_qemu_ops)
                return err_set(err, ERR_NO_SUPPORT, "%s", call_proc(call)->api);
        if (!str_eq(args->nativeFormat, "qemu-argv"))
                return err_set(err, ERR_INVALID_ARG, "unsupported config type '%s': there is 'qemu-argv'",
                               args->nativeFormat);
        return define_for_call(call, args->domainXml, false, convert, err);
}
