// SPDX-License-Identifier: MIT
// The list of element types. Each has one file, which holds all that is known of it; element/contract.hpp says what.
#pragma once

#include "element/bf16.hpp"
#include "element/codes.hpp"
#include "element/f16.hpp"
#include "element/fp8_e4m3.hpp"
#include "element/fp8_e5m2.hpp"
#include "element/int8.hpp"
#include "element/iq4_nl.hpp"
#include "element/mxfp4.hpp"
#include "element/q4_0.hpp"
#include "element/q4_1.hpp"
#include "element/q5_0.hpp"
#include "element/q5_1.hpp"
#include "element/q8_0.hpp"
#include "element/u4_block.hpp"
#include "element/u8_block.hpp"
