"""facts/nwfilter.toml -> model/nwfilter-facts.[ch]: elements of rules, their attributes, and chains; and the filters that
every host has, from packaging/nwfilter."""
import gen

KINDS = ["mac", "ip4", "ip4mask", "ip6", "ip6mask", "u8", "u16", "u32", "vlan", "dscp", "ethertype", "ipproto",
         "arpop", "bool", "tcpflags", "state", "connlimit", "ipset", "ipsetflags", "text"]


def quoted(value):
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def text(value):
    return "NULL" if value is None else f'"{value}"'


def attribute(attr, names):
    def index(key):
        return names.index(attr[key]) if key in attr else -1
    if attr["kind"] not in KINDS:
        raise SystemExit(f"facts/nwfilter.toml: attribute '{attr['name']}': no kind '{attr['kind']}'")
    return (f"        {{ \"{attr['name']}\", NW_{attr['kind'].upper()}, {text(attr.get('nft'))}, "
            f"{text(attr.get('swap'))}, {index('mask')}, {index('last')}, {str(attr.get('oneway', False)).lower()} }},")


def generate(facts):
    data = gen.load(facts / "nwfilter.toml")
    stock = sorted((facts.parent / "packaging" / "nwfilter").glob("*.xml"))
    gen.loaded.extend(stock)
    groups = {g["name"]: g["attrs"] for g in data["group"]}
    header = ["#pragma once", "/* generated from facts/nwfilter.toml by tools/gen_nwfilter.py */",
              "#include <stdbool.h>", "#include <stdint.h>", "", "typedef enum NwKind {"]
    header += [f"        NW_{k.upper()}," for k in KINDS]
    header += ["} NwKind;", "", "/* One attribute of an element; mask and last are places in the same table, or -1. */",
               "typedef struct NwAttr {", "        const char *name;", "        NwKind kind;",
               "        const char *nft, *swap; /* NULL: it is no expression, or the same from both ends */",
               "        int8_t mask, last;", "        bool oneway; /* answers look different */", "} NwAttr;", "",
               "typedef struct NwProtocol {", "        const char *name, *head;",
               "        bool is_stateful; /* of IP and above: connections are followed */",
               "        const NwAttr *attrs;", "        unsigned n_attrs;", "} NwProtocol;", "",
               "typedef struct NwChain {", "        const char *name, *head;", "        int priority;", "} NwChain;", "",
               "typedef struct NwStock {", "        const char *name, *xml;", "} NwStock;", "",
               f"enum {{ N_NW_PROTOCOLS = {len(data['protocol'])}, N_NW_CHAINS = {len(data['chain'])}, "
               f"N_NW_STOCK = {len(stock)} }};", "extern const NwStock nw_stock[N_NW_STOCK]; /* by name */",
               "extern const NwProtocol nw_protocols[N_NW_PROTOCOLS];", "extern const NwChain nw_chains[N_NW_CHAINS];", ""]
    source = ["/* generated from facts/nwfilter.toml by tools/gen_nwfilter.py */", '#include "model/nwfilter-facts.h"',
              "", "#include <stddef.h>", ""]
    rows = []
    for protocol in data["protocol"]:
        attrs = [a for g in protocol["groups"] for a in groups[g]]
        names = [a["name"] for a in attrs]
        symbol = "attrs_" + protocol["element"].replace("-", "_")
        source += [f"static const NwAttr {symbol}[] = {{ /* {gen.origin(protocol)} */"]
        source += [attribute(a, names) for a in attrs] + ["};", ""]
        rows.append(f"        {{ \"{protocol['element']}\", {text(protocol.get('head'))}, "
                    f"{str(protocol.get('stateful', False)).lower()}, {symbol}, {len(attrs)} }},")
    source += ["const NwProtocol nw_protocols[N_NW_PROTOCOLS] = {"] + rows + ["};", "",
               "const NwChain nw_chains[N_NW_CHAINS] = {"]
    source += [f"        {{ \"{c['name']}\", {text(c.get('head'))}, {c['priority']} }}, /* {gen.origin(c)} */"
               for c in data["chain"]]
    source += ["};", ""]
    source += ["const NwStock nw_stock[N_NW_STOCK] = {"]
    source += [f"        {{ {quoted(path.stem)}, {quoted(path.read_text())} }}," for path in stock]
    source += ["};", ""]
    return {"nwfilter-facts.h": "\n".join(header), "nwfilter-facts.c": "\n".join(source)}
