/* What the engine uses of the standard's math.h. */
#ifndef MATH_H
#define MATH_H

#define INFINITY __builtin_inff()

#endif
