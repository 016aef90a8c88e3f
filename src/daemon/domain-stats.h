#pragma once
/*
 * daemon/domain-stats.h - statistics of a guest as the groups clients ask for
 */
#include "daemon/collect.h"
#include "daemon/params.h"

/* All groups there are, as bits; and what has to be collected for some of them. */
unsigned domain_stats_known(void);
unsigned domain_stats_figures(unsigned groups);
/* Append the parameters of these groups. Names are in the arena. backing: images below the disks too. */
void domain_stats_put(const Domain *dom, const Figures *figures, unsigned groups, bool backing, Arena *arena,
                      Params *ret);
