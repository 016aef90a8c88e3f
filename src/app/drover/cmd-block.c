/*
 * app/drover/cmd-block.c - disks of running guests: their size, and a word when one fills
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"

static int blockresize(Session *s, const Args *args, Error *err)
{
        WireDomainBlockResizeArgs call = { .disk = arg_text(args, "path"), .flags = VIR_DOMAIN_BLOCK_RESIZE_BYTES };

        if (arg_size(args, "size", 1024, &call.size, err) < 0 || find_domain(s, args, &call.dom, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_DOMAIN_BLOCK_RESIZE, &call, NULL, err) < 0)
                return fail(err, "Failed to resize block device '%s'", call.disk);
        out_done(s->out, "Block device '%s' is resized", call.disk);
        return 0;
}

static int domblkthreshold(Session *s, const Args *args, Error *err)
{
        WireDomainSetBlockThresholdArgs call = { .dev = arg_text(args, "dev") };

        if (arg_size(args, "threshold", 1, &call.threshold, err) < 0 || find_domain(s, args, &call.dom, err) < 0)
                return -1;
        return session_call(s, WIRE_PROC_DOMAIN_SET_BLOCK_THRESHOLD, &call, NULL, err);
}

const Command block_commands[] = {
        { .name = "blockresize",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "PATH         disk: target or source\n"
                             "SIZE:NUMBER  its new size, in KiB unless a unit is given",
          .summary = "change the size of a running guest's disk",
          .run = blockresize },
        { .name = "domblkthreshold",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "DEV               disk: target, with [N] one of the images below it\n"
                             "THRESHOLD:NUMBER  offset in bytes unless a unit is given",
          .summary = "get an event when a guest has written this far into a disk",
          .text = "The event is block-threshold, and comes once.",
          .run = domblkthreshold },
        { 0 },
};
