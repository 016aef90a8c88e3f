/*
 * model/complete-devices.c - defaults and rules of the other devices
 */
#include "model/complete-internal.h"

#include "base/str.h"

static int complete_interface(DomainDef *def, InterfaceDef *interface, const CompletionFacts *facts, Error *err)
{
        static const uint8_t ours[3] = { 0x52, 0x54, 0x00 }, none[3]; /* CON-24 */

        if (mac_is_null(&interface->mac))
                mac_new_random(memcmp(facts->mac_prefix, none, 3) == 0 ? ours : facts->mac_prefix, &interface->mac);
        if (def->type == DOMAIN_TYPE_XEN)
                return 0;
        if (!interface->model && interface->type != INTERFACE_TYPE_HOSTDEV)
                interface->model = interface->type == INTERFACE_TYPE_VHOSTUSER ||
                                                   interface->type == INTERFACE_TYPE_VDPA
                                           ? "virtio"
                                           : "rtl8139";
        if (interface->script && interface->type != INTERFACE_TYPE_ETHERNET)
                return err_set(err, ERR_CONFIG_UNSUPPORTED,
                               "an interface of type '%s' cannot have a script, only 'ethernet'",
                               interface_type_text(interface->type)); /* DOM-28 */
        return 0;
}

/* The listen attribute is the address of the first listen element, and the other way round. */
static int complete_listens(DomainDef *def, GraphicsDef *graphics, Error *err)
{
        ListenDef *first;

        if (!graphics->n_listens) {
                graphics->listens = arena_new_array(def->head.arena, ListenDef *, 1);
                graphics->n_listens = 1;
                first = graphics->listens[0] = fields_new(def->head.arena, &listen_def_info);
                first->type = graphics->socket ? LISTEN_TYPE_SOCKET : LISTEN_TYPE_ADDRESS;
                first->socket = graphics->socket;
                first->address = graphics->socket ? NULL : graphics->listen;
                return 0;
        }
        first = graphics->listens[0];
        if (first->type != LISTEN_TYPE_ADDRESS)
                return 0;
        if (graphics->listen && first->address && !str_eq(graphics->listen, first->address))
                return err_set(err, ERR_XML, "<graphics>: listen='%s' but the first listen element says '%s'",
                               graphics->listen, first->address);
        if (!graphics->listen)
                graphics->listen = first->address;
        first->address = graphics->listen;
        return 0;
}

static int complete_graphics(DomainDef *def, GraphicsDef *graphics, Error *err)
{
        bool has_port = graphics->type == GRAPHICS_TYPE_VNC || graphics->type == GRAPHICS_TYPE_SPICE ||
                        graphics->type == GRAPHICS_TYPE_RDP;

        if (!has_port)
                return 0;
        if (complete_listens(def, graphics, err) < 0)
                return -1;
        if (graphics->listens[0]->type == LISTEN_TYPE_SOCKET || graphics->listens[0]->type == LISTEN_TYPE_NONE)
                return 0;
        if (!graphics->port && !graphics->tls_port && !graphics->autoport)
                graphics->autoport = SWITCH_ON;
        if (graphics->type == GRAPHICS_TYPE_VNC && !graphics->port)
                graphics->port = -1;
        if (graphics->type == GRAPHICS_TYPE_VNC && graphics->port > 0 && graphics->port < 5900)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "<graphics>: VNC ports begin at 5900, not %d",
                               graphics->port);
        if (graphics->port > 0 && !graphics->autoport)
                graphics->autoport = SWITCH_OFF;
        if (graphics->passwd && graphics->type == GRAPHICS_TYPE_VNC && strlen(graphics->passwd) > 8)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "a VNC password has at most 8 characters");
        return 0;
}

static void complete_videos(DomainDef *def)
{
        if (def->n_graphics && !def->n_videos)
                add_default_device(def, DEVICE_VIDEO);
        for (uint32_t i = 0; i < def->n_videos; i++) {
                VideoDef *video = def->videos[i];

                if (!video->model)
                        video->model = VIDEO_MODEL_VGA;
                if (video->model == VIDEO_MODEL_NONE)
                        continue;
                if (!video->heads)
                        video->heads = 1;
                if (!video->vram_kib && (video->model == VIDEO_MODEL_VGA || video->model == VIDEO_MODEL_CIRRUS ||
                                         video->model == VIDEO_MODEL_BOCHS || video->model == VIDEO_MODEL_VMVGA))
                        video->vram_kib = 16384;
                if (video->model == VIDEO_MODEL_QXL) {
                        video->ram_kib = video->ram_kib ?: 65536;
                        video->vram_kib = video->vram_kib ?: 65536;
                        video->vgamem_kib = video->vgamem_kib ?: 16384;
                }
                if (!i && !video->primary)
                        video->primary = SWITCH_ON;
        }
}

static bool has_input(const DomainDef *def, InputType type)
{
        for (uint32_t i = 0; i < def->n_inputs; i++) {
                if (def->inputs[i]->type == type && def->inputs[i]->bus == INPUT_BUS_PS2)
                        return true;
        }
        return false;
}

static void complete_inputs(DomainDef *def)
{
        static const InputType always[] = { INPUT_TYPE_MOUSE, INPUT_TYPE_KEYBOARD };

        for (uint32_t i = 0; i < def->n_inputs; i++) {
                InputDef *input = def->inputs[i];

                if (input->bus || input->type == INPUT_TYPE_EVDEV)
                        continue;
                if (input->type == INPUT_TYPE_PASSTHROUGH)
                        input->bus = INPUT_BUS_VIRTIO;
                else
                        input->bus = input->type == INPUT_TYPE_TABLET ? INPUT_BUS_USB : INPUT_BUS_PS2;
        }
        /* A PC has both, like it or not; they are shown where somebody can use them. */
        for (size_t i = 0; i < ARRAY_LEN(always) && def->n_graphics; i++) {
                InputDef *input;

                if (has_input(def, always[i]))
                        continue;
                input = add_default_device(def, DEVICE_INPUT);
                input->type = always[i];
                input->bus = INPUT_BUS_PS2;
        }
}

static void complete_small_devices(DomainDef *def)
{
        if (!def->n_memballoons) {
                MemballoonDef *balloon = add_default_device(def, DEVICE_MEMBALLOON);

                balloon->model = "virtio";
        }
        for (uint32_t i = 0; i < def->n_panics; i++) {
                if (!def->panics[i]->model)
                        def->panics[i]->model = PANIC_MODEL_ISA;
        }
        for (uint32_t i = 0; i < def->n_tpms; i++) {
                TpmDef *tpm = def->tpms[i];

                if (!tpm->model)
                        tpm->model = TPM_MODEL_TPM_TIS;
                if (tpm->backend == TPM_BACKEND_EMULATOR && !tpm->backend_version)
                        tpm->backend_version = TPM_VERSION_2_0;
        }
        for (uint32_t i = 0; i < def->n_rngs; i++) {
                if (!def->rngs[i]->model) /* an empty one was given */
                        def->rngs[i]->model = "virtio";
                if (def->rngs[i]->backend == RNG_BACKEND_RANDOM && !def->rngs[i]->device)
                        def->rngs[i]->device = "/dev/urandom";
        }
        for (uint32_t i = 0; i < def->n_vsocks; i++) {
                if (!def->vsocks[i]->model)
                        def->vsocks[i]->model = "virtio";
        }
}

typedef struct BootOrder {
        uint32_t order;
        const char *of;
} BootOrder;

static void collect_orders(const DomainDef *def, BootOrder *all, size_t *n)
{
        for (uint32_t i = 0; i < def->n_disks; i++)
                all[(*n)++] = (BootOrder){ def->disks[i]->boot_order, def->disks[i]->target_dev };
        for (uint32_t i = 0; i < def->n_interfaces; i++)
                all[(*n)++] = (BootOrder){ def->interfaces[i]->boot_order, "an interface" };
        for (uint32_t i = 0; i < def->n_hostdevs; i++)
                all[(*n)++] = (BootOrder){ def->hostdevs[i]->boot_order, "a host device" };
        for (uint32_t i = 0; i < def->n_redirdevs; i++)
                all[(*n)++] = (BootOrder){ def->redirdevs[i]->boot_order, "a redirected device" };
}

/* Either kinds of devices in <os>, or an order on devices; without both the disk boots. */
static int complete_boot(DomainDef *def, Error *err)
{
        size_t most = (size_t)def->n_disks + def->n_interfaces + def->n_hostdevs + def->n_redirdevs, n = 0;
        AUTOFREE BootOrder *all = mem_alloc_array(most + 1, sizeof(*all));
        bool any = false;

        collect_orders(def, all, &n);
        for (size_t i = 0; i < n; i++) {
                any = any || all[i].order;
                for (size_t j = 0; j < i; j++) {
                        if (all[i].order && all[i].order == all[j].order)
                                return err_set(err, ERR_XML, "boot order %u is used for %s and %s", all[i].order,
                                               all[j].of, all[i].of);
                }
        }
        if (any && def->os.n_boot)
                return err_set(err, ERR_CONFIG_UNSUPPORTED,
                               "boot order of devices and <boot dev> in <os> exclude each other");
        if (!any && !def->os.n_boot && !def->os.kernel && def->type != DOMAIN_TYPE_XEN) {
                def->os.boot = arena_new_array(def->head.arena, BootDeviceDef *, 1);
                def->os.boot[0] = fields_new(def->head.arena, &boot_device_def_info);
                def->os.boot[0]->dev = BOOT_DEVICE_HD;
                def->os.n_boot = 1;
        }
        return 0;
}

int complete_devices(DomainDef *def, const CompletionFacts *facts, Error *err)
{
        for (uint32_t i = 0; i < def->n_interfaces; i++) {
                if (complete_interface(def, def->interfaces[i], facts, err) < 0)
                        return -1;
        }
        for (uint32_t i = 0; i < def->n_graphics; i++) {
                if (complete_graphics(def, def->graphics[i], err) < 0)
                        return -1;
        }
        if (complete_boot(def, err) < 0)
                return -1;
        if (def->type == DOMAIN_TYPE_XEN)
                return 0;
        complete_videos(def);
        complete_inputs(def);
        complete_small_devices(def);
        return 0;
}
