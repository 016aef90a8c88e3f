#include "test.h"

#include "base/str.h"
#include "model/xml.h"

TEST(a_tree_has_names_texts_and_lines)
{
        static const char text[] = "<a x='1'>\n  <b>t&amp;&lt;<![CDATA[<c>]]></b>\n  <b/>\n</a>";
        AUTO(XmlDoc) doc = { 0 };
        AUTO(Error) err = { 0 };
        AUTO(Buf) path = { 0 };
        XmlNode *b;

        CHECK_INT(xml_parse(text, strlen(text), "test", &doc, &err), 0);
        CHECK_STR(doc.root->name, "a");
        CHECK_STR(xml_attr(doc.root, "x"), "1");
        CHECK_NULL(doc.root->text);
        b = xml_find(doc.root, "b");
        CHECK_STR(b->text, "t&<<c>");
        b = xml_next(b->next, "b");
        CHECK_INT(b->line, 3);
        xml_path(b, &path);
        CHECK_STR(buf_text(&path), "/a/b[2]");
}

TEST(hostile_documents_are_refused_with_their_line)
{
        static const struct {
                const char *text, *complaint;
        } cases[] = {
                { "", "(test) is empty" },
                { "<a>", "(test) line 1: Premature end of data in tag a line 1" },
                { "<a>\n<b></a>", "(test) line 2: Opening and ending tag mismatch: b line 2 and a" },
                { "<!DOCTYPE a [<!ENTITY x 'y'>]>\n<a>&x;</a>",
                  "(test) line 1: a document type (<!DOCTYPE>) is not allowed" },
                { "<!DOCTYPE a SYSTEM 'http://127.0.0.1/x'><a/>",
                  "(test) line 1: a document type (<!DOCTYPE>) is not allowed" },
                { "<a>&x;</a>", "(test) line 1: Entity 'x' not defined" },
                { "<a x='1' x='2'/>", "(test) line 1: Attribute x redefined" },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(XmlDoc) doc = { 0 };
                AUTO(Error) err = { 0 };

                CHECK_INT(xml_parse(cases[i].text, strlen(cases[i].text), "test", &doc, &err), -1);
                CHECK_STR(err.text, cases[i].complaint);
        }
}

TEST(depth_is_capped)
{
        for (int depth = XML_DEPTH_MAX; depth <= XML_DEPTH_MAX + 1; depth++) {
                AUTO(XmlDoc) doc = { 0 };
                AUTO(Error) err = { 0 };
                AUTO(Buf) text = { 0 };

                for (int i = 0; i < depth; i++)
                        buf_put_text(&text, "<a>");
                for (int i = 0; i < depth; i++)
                        buf_put_text(&text, "</a>");
                CHECK_INT(xml_parse(text.data, text.len, "test", &doc, &err), depth > XML_DEPTH_MAX ? -1 : 0);
        }
}

/* The library alone would take minutes to find out that no attribute is there twice. */
TEST(attributes_of_an_element_are_capped)
{
        static const char before[] = "<a><!-- it's --><![CDATA[<b c='\" ]]><?p it's ?>text '\" = > ",
                          after[] = "</a>";

        for (unsigned n = XML_ATTRS_MAX; n <= 200 * XML_ATTRS_MAX; n *= 200) {
                AUTO(XmlDoc) doc = { 0 };
                AUTO(Error) err = { 0 };
                AUTO(Buf) text = { 0 };

                buf_put_text(&text, before);
                while (text.len < 100000)
                        buf_put_text(&text, "<b c='1' d=\"2'\"/>'");
                buf_put_text(&text, "<b");
                for (unsigned i = 0; i < n; i++)
                        buf_format(&text, " %sa%u=%s", i % 2 ? "xmlns:" : "", i,
                                   i % 2   ? "'u'"
                                   : i % 4 ? "'>'"
                                           : "\"'\"");
                buf_put_text(&text, "/>");
                buf_put_text(&text, after);
                xml_parse(text.data, text.len, "test", &doc, &err);
                CHECK_STR(err.text ?: "accepted",
                          n > XML_ATTRS_MAX ? "(test) an element has more than 1000 attributes" : "accepted");
        }
}

/* Each element has the name of its namespace: a long one and many elements would fill the memory. */
TEST(names_of_namespaces_are_capped)
{
        for (size_t n = XML_URI_MAX; n <= XML_URI_MAX + 1; n++) {
                AUTO(XmlDoc) doc = { 0 };
                AUTO(Error) err = { 0 };
                AUTO(Buf) text = { 0 };

                buf_put_text(&text, "<a><b xmlns='");
                for (size_t i = 0; i < n; i++)
                        buf_put_char(&text, 'u');
                buf_put_text(&text, "'><c/></b></a>");
                xml_parse(text.data, text.len, "test", &doc, &err);
                CHECK_STR(err.text ?: "accepted",
                          n > XML_URI_MAX ? "(test) line 1: the name of a namespace has more than 256 bytes"
                                          : "accepted");
        }
}

TEST(what_is_written_inside_stands_alone)
{
        static const char text[] =
                "<m xmlns:o='urn:o'><o:a k='&apos;'>t<b/>u</o:a><x:c xmlns:x='urn:x'><d/></x:c></m>";
        AUTO(XmlDoc) doc = { 0 };
        AUTO(Error) err = { 0 };
        AUTO(Buf) out = { 0 };

        CHECK_INT(xml_parse(text, strlen(text), "test", &doc, &err), 0);
        xml_inside(doc.root, 1, &out);
        CHECK_STR(buf_text(&out), "  <o:a k='&apos;' xmlns:o='urn:o'>t<b/>u</o:a>\n"
                                  "  <x:c xmlns:x='urn:x'>\n    <d/>\n  </x:c>\n");
}

TEST(what_xml_has_no_character_for_is_left_out)
{
        AUTO(XmlDoc) doc = { 0 };
        AUTO(Error) err = { 0 };
        AUTO(Buf) out = { 0 };

        buf_put_text(&out, "<a>");
        xml_put_escaped(&out, "b\x01\xef\xbf\xbf\xef\xbf\xbe<\xef\xbf\xbd\xef");
        CHECK_STR(buf_text(&out), "<a>b&lt;\xef\xbf\xbd\xef");
        out.len--; /* what was cut off is no text of anybody */
        buf_put_text(&out, "</a>");
        CHECK_INT(xml_parse(out.data, out.len, "test", &doc, &err), 0);
        CHECK_STR(doc.root->text, "b<\xef\xbf\xbd");
}
