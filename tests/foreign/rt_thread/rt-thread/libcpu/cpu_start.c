void rt_hw_shutdown(int code);
int main(void);
void entry(void);

void entry(void)
{
    rt_hw_shutdown(main());
}
