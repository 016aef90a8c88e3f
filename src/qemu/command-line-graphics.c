/*
 * qemu/command-line-graphics.c - displays and video cards
 *
 * Passwords never stand in arguments: they are set over QMP before the guest runs (SEC-25, DOM-30).
 */
#include "base/str.h"
#include "qemu/command-line-private.h"

#include <stdio.h>

enum { FIRST_VNC_PORT = 5900, LAST_VNC_PORT = 65535 };

static const ListenDef *find_listen(const GraphicsDef *g, ListenType type)
{
        for (uint32_t i = 0; i < g->n_listens; i++) {
                if (g->listens[i]->type == type)
                        return g->listens[i];
        }
        return NULL;
}

static int put_vnc_address(const GraphicsDef *g, Buf *value, Error *err)
{
        const ListenDef *at = find_listen(g, LISTEN_TYPE_ADDRESS), *unix_socket = find_listen(g, LISTEN_TYPE_SOCKET);
        AUTOFREE char *address = option_escape(at && at->address ? at->address : g->listen ?: "127.0.0.1");
        const char *path = unix_socket ? unix_socket->socket : g->socket;
        bool automatic = g->port <= 0;

        if (path) {
                AUTOFREE char *escaped = option_escape(path);

                buf_format(value, "unix:%s", escaped);
                return 0;
        }
        if (find_listen(g, LISTEN_TYPE_NONE)) {
                buf_put_text(value, "none");
                return 0;
        }
        if (!automatic && (g->port < FIRST_VNC_PORT || g->port > LAST_VNC_PORT))
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "the VNC port %d is not between %d and %d", g->port,
                               FIRST_VNC_PORT, LAST_VNC_PORT);
        buf_format(value, strchr(address, ':') ? "[%s]" : "%s", address);
        buf_format(value, ":%d", automatic ? 0 : g->port - FIRST_VNC_PORT);
        if (automatic)
                buf_format(value, ",to=%d", LAST_VNC_PORT - FIRST_VNC_PORT);
        return 0;
}

static int put_vnc(const GraphicsDef *g, CommandLine *line, Error *err)
{
        AUTO(Buf) value = { 0 };

        if (put_vnc_address(g, &value, err) < 0)
                return -1;
        if (g->passwd)
                buf_put_text(&value, ",password=on");
        if (g->share_policy)
                buf_format(&value, ",share=%s", share_policy_text(g->share_policy));
        if (g->websocket > 0)
                buf_format(&value, ",websocket=%d", g->websocket);
        else if (g->websocket < 0)
                buf_put_text(&value, ",websocket=on");
        if (g->power_control == SWITCH_ON)
                buf_put_text(&value, ",power-control=on");
        buf_put_text(&value, ",audiodev=audio1");
        line_put_pair(line, "-vnc", "%s", buf_text(&value));
        if (g->keymap)
                line_put_pair(line, "-k", "%s", g->keymap);
        return 0;
}

static const char *video_driver(const VideoDef *v, bool first)
{
        switch (v->model) {
        case VIDEO_MODEL_VGA:
                return first ? "VGA" : "secondary-vga";
        case VIDEO_MODEL_CIRRUS:
                return "cirrus-vga";
        case VIDEO_MODEL_VMVGA:
                return "vmware-svga";
        case VIDEO_MODEL_QXL:
                return first ? "qxl-vga" : "qxl";
        case VIDEO_MODEL_VIRTIO:
                return first ? "virtio-vga" : "virtio-gpu-pci";
        case VIDEO_MODEL_BOCHS:
                return "bochs-display";
        case VIDEO_MODEL_RAMFB:
                return "ramfb";
        default:
                return NULL;
        }
}

static void put_video_memory(JsonWriter *w, const VideoDef *v)
{
        unsigned vgamem = v->vgamem_kib ?: v->vram_kib;

        switch (v->model) {
        case VIDEO_MODEL_VGA:
        case VIDEO_MODEL_VMVGA:
                if (vgamem)
                        json_put_u64(w, "vgamem_mb", MAX(1u, vgamem / 1024));
                return;
        case VIDEO_MODEL_QXL:
                put_u32(w, "ram_size", v->ram_kib * 1024);
                put_u32(w, "vram_size", v->vram_kib * 1024);
                put_u32(w, "vram64_size_mb", v->vram64_kib / 1024);
                put_u32(w, "vgamem_mb", v->vgamem_kib / 1024);
                return;
        case VIDEO_MODEL_VIRTIO:
                json_put_u64(w, "max_outputs", v->heads ?: 1);
                return;
        default:
                return;
        }
}

static int put_video(const CommandLineSpec *spec, CommandLine *line, const VideoDef *v, bool first, Error *err)
{
        const char *driver = video_driver(v, first);
        AUTO(JsonWriter) w = { 0 };

        if (v->model == VIDEO_MODEL_NONE)
                return 0;
        if (!driver || v->accel3d == SWITCH_ON)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "the video model '%s'%s is not supported",
                               video_model_text(v->model) ?: "?", driver ? " with 3D acceleration" : "");
        if (!qemu_caps_has_device(spec->caps, driver))
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "%s has no video device '%s'",
                               qemu_caps_binary(spec->caps), driver);
        if (part_open_device(&w, driver, spec->def, &v->info, err) < 0)
                return -1;
        put_video_memory(&w, v);
        put_u32(&w, "xres", v->resolution_x);
        put_u32(&w, "yres", v->resolution_y);
        json_close_object(&w);
        line_put_pair(line, "-device", "%s", json_text(&w));
        return 0;
}

int command_line_graphics(const CommandLineSpec *spec, CommandLine *line, Error *err)
{
        const DomainDef *def = spec->def;

        /* sound cards and VNC name it; it plays nothing */
        if (def->n_graphics > 0 || def->n_sounds > 0)
                line_put_pair(line, "-audiodev", "{\"id\":\"audio1\",\"driver\":\"none\"}");
        for (uint32_t i = 0; i < def->n_graphics; i++) {
                const GraphicsDef *g = def->graphics[i];

                if (g->type != GRAPHICS_TYPE_VNC)
                        return err_set(err, ERR_CONFIG_UNSUPPORTED,
                                       "graphics of type '%s' are not supported, use 'vnc'",
                                       graphics_type_text(g->type) ?: "?");
                if (put_vnc(g, line, err) < 0)
                        return -1;
        }
        for (uint32_t i = 0; i < def->n_videos; i++) {
                if (put_video(spec, line, def->videos[i], i == 0, err) < 0)
                        return -1;
        }
        return 0;
}
