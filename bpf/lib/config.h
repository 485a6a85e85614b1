/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Set by the loader before the program is verified; constant from then on. */
#ifndef OMNI_CONFIG_H
#define OMNI_CONFIG_H

#include "common.h"

const volatile struct omni_config config = {};

#endif /* OMNI_CONFIG_H */
