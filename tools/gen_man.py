"""facts/droverd.toml, facts/config.toml -> droverd.8, its manual page."""
import gen
from gen_config import allowed, default_text

INTRODUCTION = (
    "Runs QEMU guests, virtual networks and storage pools on this host. Clients speak the libvirt protocol to it: drover(1), "
    "virsh, virt\\-manager and whatever else uses libvirt. It stays in the foreground and needs root; droverd.socket has it "
    "started when somebody connects. Guests are processes of their own: whatever ends droverd, they go on, and the next one finds them.")


def escape(text):
    """Text for troff: no dash is a hyphen, no line a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text.startswith((".", "'")) else text


def heading(text):
    return f'.SH "{text.upper()}"'


def entry(term, text):
    return [".TP", f".B {escape(term)}", escape(text)]


def option(row):
    letter = f"-{row['letter']}, " if "letter" in row else ""
    argument = f" \\fI{row['argument']}\\fR" if "argument" in row else ""
    return [".TP", f".B {escape(letter + '--' + row['name'])}{argument}", escape(row["doc"][0].upper() + row["doc"][1:] + ".")]


def key(row):
    default = default_text(row)
    shown = " Default: " + default + "." if default is not None else ""
    support = {"warn": " Accepted, but this version does not act upon it.",
               "refuse": " Cannot be switched on in this version."}.get(row.get("support"), "")
    doc = row["doc"].replace(" Not supported by this version.", "")
    return entry(row["name"], doc + allowed(row) + shown + support)


def generate(facts):
    about = gen.load(facts / "droverd.toml")
    keys = gen.load(facts / "config.toml")["key"]
    page = ['.TH DROVERD 8 "" "drover" "drover manual"', heading("Name"), "droverd \\- daemon for virtual machines",
            heading("Synopsis"), ".B droverd", "[options]", heading("Description"), INTRODUCTION, heading("Options")]
    for title, rows, put in (
            ("", about["option"], option),
            ("Signals", about["signal"], lambda r: entry(r["name"], r["doc"])),
            ("Exit status", about["exit"], lambda r: entry(str(r["status"]), r["doc"])),
            ("Environment", about["environment"], lambda r: entry(r["name"], r["doc"])),
            ("Files", about["file"], lambda r: entry(r["path"], r["doc"])),
            ("Configuration", keys, key)):
        page += [heading(title)] if title else []
        if rows is keys:
            page += ["droverd.conf has a line \\fIkey\\fR = \\fIvalue\\fR for each of these that is not to have its default: a "
                     "number, a string in quotes, or a list of strings in brackets. A key that is not known is ignored and said in the log."]
        for row in rows:
            page += put(row)
    page += [heading("See also"), ".BR drover (1),", ".BR drover\\-img (1)"]
    return {"droverd.8": "\n".join(page) + "\n"}
