/*
 * model/vlan.c - the VLANs of an interface, a portgroup or a network
 */
#include "model/vlan.h"

enum { LAST_VLAN = 4094 };

static bool is_trunk(const VlanDef *def)
{
        return def->trunk == SWITCH_ON || def->n_tags > 1 || (def->n_tags && def->tags[0]->native_mode);
}

static int check_tag(const VlanDef *def, uint32_t at, Error *err)
{
        uint32_t id = def->tags[at]->id;

        if (id < 1 || id > LAST_VLAN)
                return err_set(err, ERR_XML, "'vlan/tag/@id': there is no VLAN %u; they are 1 to %d", id, LAST_VLAN);
        for (uint32_t i = 0; i < at; i++) {
                if (def->tags[i]->id == id)
                        return err_set(err, ERR_XML, "'vlan/tag/@id': %u is there twice", id);
                if (def->tags[i]->native_mode && def->tags[at]->native_mode)
                        return err_set(err, ERR_XML,
                                       "'vlan/tag/@nativeMode': a trunk has one native VLAN, not %u and %u",
                                       def->tags[i]->id, id);
        }
        return 0;
}

int vlan_def_check(const VlanDef *def, Error *err)
{
        if (!def)
                return 0;
        if (!def->n_tags)
                return err_set(err, ERR_XML, "'vlan' has no <tag>");
        if (def->trunk == SWITCH_OFF && is_trunk(def))
                return err_set(err, ERR_XML, "'vlan/@trunk' is no, but several tags or a native one make a trunk");
        for (uint32_t i = 0; i < def->n_tags; i++) {
                if (check_tag(def, i, err) < 0)
                        return -1;
        }
        return 0;
}

unsigned vlan_def_native(const VlanDef *def)
{
        if (!is_trunk(def))
                return def->tags[0]->id;
        for (uint32_t i = 0; i < def->n_tags; i++) {
                if (def->tags[i]->native_mode)
                        return def->tags[i]->id;
        }
        return 0;
}

bool vlan_tag_is_untagged(const VlanDef *def, const VlanTagDef *tag)
{
        return !is_trunk(def) || tag->native_mode == NATIVE_VLAN_MODE_UNTAGGED;
}
