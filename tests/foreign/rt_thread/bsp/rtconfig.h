#ifndef RT_CONFIG_H__
#define RT_CONFIG_H__

#define RT_NAME_MAX 8
#define RT_USING_CONSOLE
#define BSP_USING_NN

#endif
