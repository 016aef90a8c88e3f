#pragma once
/*
 * app/drover/hotplug.h - what the commands that add, change and remove devices share
 */
#include "app/drover/common.h"
#include "app/drover/xml.h"

#define ARG_PRINT_XML "[--print-xml]  print the XML instead of using it\n"

/* For --print-xml. */
void hotplug_print_xml(Session *s, const char *xml);
bool hotplug_is_block_device(const char *path);
/* The disk with this target or source; NULL: there is none. */
XmlNode *hotplug_find_disk(Xml *xml, const char *target);
