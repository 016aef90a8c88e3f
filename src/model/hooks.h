#pragma once
/*
 * model/hooks.h - the irregular rules, named by a struct's fact
 *
 * X_parsed runs when the rows of X were read, and checks or mends what a row
 * cannot say. X_shown changes a shallow copy of X before it is written.
 */
#include "model/domain-def.h"

int domain_def_parsed(void *def, const XmlNode *node, FieldsReader *reader);
int disk_def_parsed(void *def, const XmlNode *node, FieldsReader *reader);
int interface_def_parsed(void *def, const XmlNode *node, FieldsReader *reader);
int timer_def_parsed(void *def, const XmlNode *node, FieldsReader *reader);
int chardev_def_parsed(void *def, const XmlNode *node, FieldsReader *reader);
int graphics_def_parsed(void *def, const XmlNode *node, FieldsReader *reader);
int network_ip_def_parsed(void *def, const XmlNode *node, FieldsReader *reader);
int network_route_def_parsed(void *def, const XmlNode *node, FieldsReader *reader);
int network_def_parsed(void *def, const XmlNode *node, FieldsReader *reader);
int pool_source_def_parsed(void *def, const XmlNode *node, FieldsReader *reader);
int pool_def_parsed(void *def, const XmlNode *node, FieldsReader *reader);
int volume_def_parsed(void *def, const XmlNode *node, FieldsReader *reader);
int secret_def_parsed(void *def, const XmlNode *node, FieldsReader *reader);
int usbdev_def_parsed(void *def, const XmlNode *node, FieldsReader *reader);
void chardev_def_shown(void *def, unsigned flags);
void graphics_def_shown(void *def, unsigned flags);
void seclabel_def_shown(void *def, unsigned flags);
