void entry(void);

int main(void) {
    entry();
    return 1;
}
