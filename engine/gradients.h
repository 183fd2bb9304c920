/* Gradients of networks and prior, for the search. */
#ifndef MNZ_GRADIENTS_H
#define MNZ_GRADIENTS_H

#include "engine.h"

/* 2^e in float32: infinite above its range, 0 below. */
float mnz_power_of_two(int e);

/* Bytes of scratch that both functions need at most. */
size_t mnz_gradient_memory(const mnz_model *model);

/* Bytes of scratch that mnz_network_back needs at most. */
size_t mnz_layers_gradient_memory(const mnz_network *network);

/* The gradient of a number by the input of a network, given that by its output, after mnz_forward left its tape. */
void mnz_network_back(const mnz_model *model, const mnz_network *network, const int32_t *x, const int32_t *tape, const float *g,
                      int quality_index, float *g_in, mnz_arena scratch);

/* The gradient of a number by the symbols, given that by the grey levels, after mnz_forward of the synthesis left its tape. */
void mnz_synthesis_back(const mnz_model *model, const int32_t *start, const int32_t *tape, const float *g_grey,
                        int quality_index, float *g_symbol, mnz_arena scratch);

/* The gradient of the bits of all later symbols by each symbol. freq: of every value of every symbol, values numbers each. */
void mnz_prior_back(const mnz_prior_state *state, const int32_t *freq, float *g_symbol, mnz_arena scratch);

#endif
